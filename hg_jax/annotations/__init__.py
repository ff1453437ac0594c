"""What people marked in pictures: MPII, COCO, LSP, boxes and the joints."""
