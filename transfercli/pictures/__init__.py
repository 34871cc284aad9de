"""Where pictures come from: folders on disk, the built-in pictures, and batches of them on the device."""
