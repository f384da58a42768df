"""Figures of labelled predictions: measured once, written as JSON, CSV tables, plots and one page."""
