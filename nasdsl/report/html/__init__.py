"""Reports as one HTML file each: no network, no script, light and dark, for screen and paper."""
