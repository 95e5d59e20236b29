"""Which other widgets end with one: ipywidgets keeps every widget until it is closed."""

from __future__ import annotations

from ipywidgets import Widget


def made_for(*widgets: Widget) -> list[Widget]:
    """The layouts and styles that ipywidgets made for widgets, which closing these leaves open.

    Ask when the widgets were just made: later a layout may be the user's, shared by several.

    >>> import ipywidgets
    >>> [type(one).__name__ for one in made_for(ipywidgets.FloatSlider())]
    ['Layout', 'SliderStyle']
    """
    found = (getattr(one, name, None) for one in widgets for name in ("layout", "style"))
    return [one for one in found if isinstance(one, Widget)]
