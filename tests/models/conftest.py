"""Fixtures of the model tests."""

import pytest
from support.small_gans import blobs

from tinygen import data


@pytest.fixture
def small_data(monkeypatch):
    """400 small images in the place of every data set of the GAN papers."""
    monkeypatch.setattr(data, "load", lambda name, data_dir=None, grey=False: blobs(name))
