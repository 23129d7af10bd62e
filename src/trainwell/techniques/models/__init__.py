"""Networks: each model builds a plain torch `nn.Sequential` for one example's shape."""
