"""Everything netopsd can look with. To add one, add a folder and one line in `netopsd.app`."""
