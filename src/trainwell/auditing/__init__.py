"""The augmentation audit: does an augmentation help, is it like the data, does it keep labels?

`audit.audit` does all of it; `worth.worth_trying` is the cheap part, before any training.
"""
