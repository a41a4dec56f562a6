"""The paper's experiments, rebuilt from raw records, with honest protocols beside them.

W. Ji, D. Zhu, "ECG Classification Exercise Health Analysis Algorithm Based on GRU and Convolutional Neural
Network", IEEE Access. Read in this order: `preprocessing` and `windows` make the beats, `protocols` parts them,
`networks` and `fitting` learn, `experiments` names every run, `results` keeps them, `page` and `figures` tell them.
"""
