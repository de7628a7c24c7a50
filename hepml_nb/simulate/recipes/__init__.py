"""All recipes, one module each, named like the recipe and holding it as RECIPE."""
