"""Planted augmentations whose verdict is known: does the audit find it?"""
