"""Many slides: a manifest in, a folder a slide and the cohort's tables out; resumable, on one process or a cluster."""
