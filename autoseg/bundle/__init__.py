"""A trained model on its own: one zip file for this engine, or a folder of ONNX files; written, checked and loaded."""
