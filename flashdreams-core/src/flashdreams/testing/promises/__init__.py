"""What :class:`flashdreams.testing.PipelineContract` holds a pipeline to, one theme a file."""
