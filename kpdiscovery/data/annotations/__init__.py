"""What is known of pictures: annotation files, their fit to the pictures, splits."""
