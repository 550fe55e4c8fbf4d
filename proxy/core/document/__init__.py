"""The full exchangeInfo document: parsed, indexed, and answers selected from it."""
