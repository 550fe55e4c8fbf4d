"""The full exchangeInfo document: parsing, indexing, and the answers that it contains."""
