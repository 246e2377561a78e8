"""Take t2s to a machine without a network: wheels, a base model and data in parts of a chosen size, with every hash.

:mod:`t2s.bundle.collect` makes a bundle where there is a network, :mod:`t2s.bundle.standalone` installs it where there
is none, also without t2s: it is the bundle's ``install.py``. Not covered: who made a bundle. Its hashes tell damage;
note the manifest's SHA-256 where the bundle is made and give it to the installation, and they tell a forgery too.
"""
