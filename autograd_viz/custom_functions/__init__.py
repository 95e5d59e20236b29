"""Checks of custom Functions: the backward rule beside the nudge, and what a rule does besides."""
