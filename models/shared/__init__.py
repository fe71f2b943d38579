"""What papers of different families share: images, labels, measures."""
