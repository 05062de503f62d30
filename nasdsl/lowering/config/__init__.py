"""Recipes, data sets, splits, training settings and suites, from their blocks to flat settings."""
