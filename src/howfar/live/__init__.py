"""Models outside Python: as an ONNX graph, and as a static page on which one runs in the visitor's browser.

Reads in this order: `graph` (a model as ONNX), `runtime` (what runs it in a browser), `site` (the folder of the page).
"""
