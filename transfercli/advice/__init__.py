"""`transfer advise`: which layers of a pretrained network to copy, and freeze, for the pictures in a folder."""
