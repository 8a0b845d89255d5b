"""From a raw case to a prepared one and back: crop, resampling, the store on disk."""
