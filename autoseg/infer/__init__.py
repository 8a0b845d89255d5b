"""From nets and images to masks: tiles, windows, cases, files. Knows no trainer."""
