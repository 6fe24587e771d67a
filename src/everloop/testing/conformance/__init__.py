"""An executor by its name -> the checks that it passes, or what it does otherwise. The way in is `everloop.testing.executors`."""
