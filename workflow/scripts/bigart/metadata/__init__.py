"""What a picture file says about itself: recipe, resolution, colour profile."""
