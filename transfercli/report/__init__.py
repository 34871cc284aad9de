"""What a study looks like: its figures as files (figures), and all of it as one HTML page (page).

Both draw treatments as `appearance` says, and show each base's first layer by `first_layer`.
"""
