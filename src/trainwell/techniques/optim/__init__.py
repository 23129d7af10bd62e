"""Optimisers: pure update rules on stacked parameters."""
