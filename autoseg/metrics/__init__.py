"""How alike two masks are."""
