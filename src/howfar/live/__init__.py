"""Models outside Python: as an ONNX graph, and as a static page that runs one in the visitor's browser.

Read in this order: `graph` (a model as ONNX), `runtime` (runs it in a browser), `site` (the page's folder).
"""
