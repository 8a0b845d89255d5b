"""Complete, versioned plans, one JSON file each."""
