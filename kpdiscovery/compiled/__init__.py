"""What compilers say of a program that is not run: its time, memory and operations."""
