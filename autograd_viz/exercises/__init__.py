"""Exercises that check themselves: what is asked, how an answer is judged, what is said."""
