"""How other people's packages are imported: only the parts that are used."""
