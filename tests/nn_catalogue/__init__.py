"""What the conformance battery needs for the ops of jitrench-nn beyond their own samples, a file a family.

As in tests/catalogue: ``REFERENCES`` maps an op to a formula in NumPy, ``CASES`` to further calls. tests/test_nn_ops.py finds every
file here.
"""
