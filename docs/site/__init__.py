"""What the site needs beside the pages: mkdocs' hooks and the page of all commands."""
