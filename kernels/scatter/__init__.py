"""Writing to indexed places, memory layouts and orders."""
