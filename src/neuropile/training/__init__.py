"""What training needs of a pile: crops of it, at random or in order, from wherever it was left."""
