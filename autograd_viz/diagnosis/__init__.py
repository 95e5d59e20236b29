"""Why a gradient is missing, or is not what was expected."""
