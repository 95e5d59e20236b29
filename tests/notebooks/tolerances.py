"""How far a fresh output may be from the stored one and still say the same."""

# Of a number, one in this significant digit, the last that pictures and words show: where a value
# lies between two roundings, the last bit of a sum decides. 2.5 is 2.500. Whole numbers are exact.
DIGITS = 4
NOISE = 1e-5  # the share of a number that has more digits; float32's sums differ by less
PIXELS = 0.25  # of a coordinate, and of a line's width
SHARE = 0.002  # of a plot's shorter axis, for what is drawn in it: less than its lines are wide
OPACITY = 0.02
