"""The claims lab: sentences of the lecture, tried by experiments that one command repeats."""
