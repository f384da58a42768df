"""One slide end to end: slide and points in, a folder of results out."""

from wsiamf.screen.pipeline import ScreenResult, screen_slide

__all__ = ["ScreenResult", "screen_slide"]
