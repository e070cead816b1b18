"""GPU kernels, one a file, each beside a plain torch twin that is used wherever Triton is not."""
