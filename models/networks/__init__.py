"""The networks of the papers: U-Net, DiT, embeddings."""
