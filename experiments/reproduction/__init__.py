"""The reproduction of the ESPO paper: its cells, the files that keep them, and the page that is made of them."""
