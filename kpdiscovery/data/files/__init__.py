"""Sources that are read: folders of pictures, MNIST's files, prepared TFDS sets."""
