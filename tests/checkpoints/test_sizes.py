import pytest

from honed.checkpoints.sizes import format_size, parse_size


@pytest.mark.parametrize(
    ("size", "n_bytes"),
    [
        ("50GB", 50 * 10**9),
        ("50 gb", 50 * 10**9),
        (" 1.5 TiB ", 1.5 * 2**40),
        ("800MB", 8 * 10**8),
        ("4k", 4000),
        ("512", 512),
        ("512 B", 512),
        (".5GiB", 2**29),
        (10**9, 10**9),
    ],
)
def test_sizes_as_people_write_them(size, n_bytes):
    assert parse_size(size) == n_bytes


@pytest.mark.parametrize("size", ["", "GB", "-1GB", "0", "50 GBit", "5iB", "1,5GB", 0, -3, True, None, 1.5, "nan"])
def test_what_is_no_size(size):
    with pytest.raises(ValueError, match=r"is no amount of disk space[;:]"):
        parse_size(size)


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (3_100_000_000, "3.1 GB"),
        (9_960_000, "10 MB"),
        (21_400_000_000, "21 GB"),
        (999_600_000, "1.0 GB"),
        (5 * 10**15, "5.0 PB"),
        (5 * 10**18, "5000 PB"),
    ],
)
def test_sizes_as_people_read_them(n_bytes, text):
    assert format_size(n_bytes) == text
