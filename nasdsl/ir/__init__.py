"""What a program means: shapes, operations, cells, networks, recipes, genotypes. No torch."""
