"""From image to slice probability, class activation map and boxes."""
