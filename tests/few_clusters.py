"""Streams of few clusters, for networks that learn in seconds."""

from training.stream import Stream


def two_of_each(stream: Stream) -> Stream:
    """The stream with two clusters of each type, 14 in all; in place."""
    stream.by_type = {t: index[:2] for t, index in stream.by_type.items()}
    return stream
