"""Files in and out: images in every format, layouts of raw data sets, autoseg's own JSON, masks and submissions."""
